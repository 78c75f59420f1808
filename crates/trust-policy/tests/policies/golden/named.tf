resource "aws_iam_role" "role_1st_web_prod" {
  name = "1st.web@prod"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          Service = "ec2.amazonaws.com"
        }
      },
    ]
  })
}

resource "aws_iam_instance_profile" "role_1st_web_prod" {
  name = "1st.web@prod"
  role = aws_iam_role.role_1st_web_prod.name
}
